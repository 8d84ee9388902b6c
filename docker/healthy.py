"""Health check of a container, `healthy.py PORT PATH`: exits with 0 if a GET of that on loopback gets a 200.

Not with curl, which slim images lack, nor urllib, which would ask a proxy that Docker has put into the environment.
"""

import http.client
import sys

port, path = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=4)
connection.request("GET", path)
sys.exit(0 if connection.getresponse().status == http.client.OK else 1)
