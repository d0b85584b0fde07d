"""The engine: how requests are sent, read and counted, with sockets and gevent, without Locust.

endpoint   where a gateway is: addresses, TLS
wire       one socket to it
http       bytes in, answers out
connection one request after the other over a wire
engine     all connections of a process; poller and alarms below it
schedule   when requests are due
outcomes   from an answer to what it counts as
counting   what all of it adds up to; recorder keeps every request (parquet has the format)
readiness  whether a gateway answers at all
"""
