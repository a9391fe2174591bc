// SPDX-License-Identifier: Apache-2.0
// The example of docs/AF_XDP.md, from here on.
import FastpathAFXDP
import FastpathCore

/// Answers every datagram on an interface with its own payload, for a while; how many there were.
func echo(on interface: String, queues: [UInt32]? = nil, while isWanted: () -> Bool) throws(Failure) -> Int {
    var options = Receiver.Options()
    options.transmits = true
    let receiver = try Receiver(interface: interface, queues: queues, port: 5060, options: options)
    defer { receiver.close() }
    var count = 0
    while isWanted() {
        receiver.wait(milliseconds: 100)
        receiver.receive { packet in
            count += 1
            guard packet.payload.count <= packet.room.count else { return .none }
            packet.room.copyMemory(from: packet.payload)
            return .reply(packet.payload.count)
        }
    }
    return count
}
