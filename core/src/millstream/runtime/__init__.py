"""The engine: JobManager, ResourceManager, TaskManagers, tasks and operators."""
