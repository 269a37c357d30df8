#!/bin/sh
# As in the official image: formats the folder of a broker.
exec java -Xmx256m -cp '/opt/kafka/libs/*' kafka.tools.StorageTool "$@"
