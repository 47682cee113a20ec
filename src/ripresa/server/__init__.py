"""Servers: what others reach the workflows of an app by, on the loopback interface unless told otherwise."""
