"""The processes driver: TaskManagers as processes of this machine, and the sockets between them."""
