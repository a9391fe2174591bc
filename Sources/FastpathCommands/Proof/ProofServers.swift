// SPDX-License-Identifier: Apache-2.0
import FastpathBench
import FastpathCore

extension ProofPage {
    /// What a figure of a SIP server is called, by the parts of its name: `servers.preload.cpu.over_kernel`.
    static func serverTitle(_ parts: [String]) -> String {
        let way = ServerCost.Way(rawValue: parts[1])?.label ?? parts[1]
        return "Kamailio by the \(way): \(parts[2])" + (parts.count > 3 ? ", over the kernel socket's" : "")
    }

    /// What a request costs a SIP server, by the way that datagrams take to it.
    var servers: String {
        let ways = ServerCost.Way.allCases.filter { result.figure("servers.\($0.rawValue).cpu") != nil }
        guard !ways.isEmpty else { return "" }
        var table = MarkdownTable([
            .left("datagrams by the"), .right("CPU ns a request"), .right("p50, ms"), .right("p99, ms"),
            .right("answered, %"), .right("most, thousands a second"), .left("goals"),
        ])
        for way in ways {
            let name = "servers.\(way.rawValue)"
            table.add([
                way.label, cell("\(name).cpu", places: 0), cell("\(name).p50", places: 3),
                cell("\(name).p99", places: 3), cell("\(name).answered", places: 2), cell("\(name).throughput"),
                verdict(["\(name).cpu.over_kernel", "\(name).p99.over_kernel", "\(name).answered"]),
            ])
        }
        return """
            ## A SIP server

            Kamailio, unmodified, four workers, the edge on: \(Format.count(ServerCost.rate)) OPTIONS a second of a trusted \
            peer, and as many as it answers with 32 under way. Over a veth pair, so in copy mode: \
            [AF_XDP](AF_XDP.md) says what that shows, and what not.


            """ + table.text
    }
}
