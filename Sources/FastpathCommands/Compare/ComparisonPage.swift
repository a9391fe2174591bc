// SPDX-License-Identifier: Apache-2.0
import FastpathBench
import FastpathCore

/// docs/COMPARISON-RESULTS.md, of one run.
struct ComparisonPage {
    var report: ComparisonReport
    var kernel: String
    /// Of the processor, may be empty.
    var processor: String
    var cores: Int
    /// Seconds since 1970-01-01 UTC.
    var time: Int64

    var markdown: String {
        [head, results, reading, again].joined(separator: "\n\n") + "\n"
    }

    private var command: String { "vos-fastpath compare" + (report.interface == nil ? "" : " IFACE --yes") }

    private var head: String {
        let place = [processor, Format.plural(cores, "core"), "Linux \(kernel)"].filter { !$0.isEmpty }
        return """
            # Comparison: without the edge, with it, and after it was taken off

            Made by `\(command) --markdown FILE`; not written by hand. vos-fastpath \(VosFastpath.version), \
            \(Timestamp.utc(time).prefix(10)); \(place.joined(separator: ", ")); profile \(report.profile).

            \(report.interface == nil ? simulated : "The traffic is what came in by the interface while each phase lasted.")
            """
    }

    private var simulated: String {
        """
        Hosts in network namespaces, joined by a veth pair; the server is Kamailio with two workers, started anew for each \
        phase. The same traffic comes in by the interface in every phase: \(SimulatedComparison.phoneRate) REGISTERs a second \
        of a phone, \(SimulatedComparison.trunkRate) OPTIONS a second of a trunk that is allowed, and \
        \(Format.count(SimulatedComparison.badRate)) frames a second of each of these: OPTIONS of a scanner, junk, INVITEs of \
        a blocked source, INVITEs of a stranger, who may send \(SimulatedComparison.strangersLimit) a second.
        """
    }

    private var results: String {
        var table = MarkdownTable([.left("")] + report.phases.map { .right($0.phase.title) })
        for row in report.rows {
            table.add([row.title.first == " " ? "– " + row.title.drop { $0 == " " } : row.title] + row.cells)
        }
        let seconds = report.phases.map { Format.decimal($0.duration / .seconds(1), places: 1) }
        return "## Results\n\n\(table.text)\n\nSeconds of each phase: \(seconds.joined(separator: ", "))."
    }

    private var reading: String {
        """
        ## How to read it

        - *Received* is what the interface counted before any program saw it; what the program drops is in it. A \
        veth pair counts 14 bytes fewer a packet while a program is attached: the Ethernet header.
        - The counters exist while a program is attached. Their sum is the SIP that came in; what each means is in \
        [METRICS](METRICS.md).
        - What AF_XDP takes does not pass the kernel's sockets, so it is missing in their count.
        - CPU in soft interrupts is the receive path's, and on a simulated network the senders' too. It is of the whole machine: \
        compare phases of one run, not of two.
        - A veth pair copies each frame for AF_XDP. What a NIC with zero-copy saves can be seen on such a NIC only.
        """
    }

    private var again: String {
        """
        ## Again

        ```text
        vos-fastpath compare                           on a simulated network; touches no interface of yours
        vos-fastpath compare eth0 --yes --seconds 60   the real traffic of eth0; the edge filters for a minute, then is off again
        ```
        """
    }
}
