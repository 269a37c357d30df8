#!/bin/sh
# As in the official image: runs a broker with a file of properties.
exec java ${KAFKA_HEAP_OPTS:--Xmx512m} -Dorg.slf4j.simpleLogger.logFile=System.out -cp '/opt/kafka/libs/*' kafka.Kafka "$@"
