# SPDX-License-Identifier: Apache-2.0
"""Two UDP sockets in one epoll instance. Behind the 400th datagram of the second port its socket is taken out of the
instance: the first one's rings must not go with it."""
import selectors
import socket

selector = selectors.EpollSelector()
sockets = {}
for port in (5060, 5080):
    sockets[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sockets[port].bind(("0.0.0.0", port))
    sockets[port].setblocking(False)
    selector.register(sockets[port], selectors.EVENT_READ, port)

counts = {5060: 0, 5080: 0}
while True:
    for key, _ in selector.select(timeout=5):
        try:
            request, sender = key.fileobj.recvfrom(2048)
        except BlockingIOError:
            continue
        counts[key.data] += 1
        key.fileobj.sendto(b"SIP/2.0 200 OK\r\n\r\n" + request, sender)
        if counts[5080] == 400 and 5080 in [key.data for key in selector.get_map().values()]:
            selector.unregister(sockets[5080])
