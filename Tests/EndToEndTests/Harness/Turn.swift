// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab
import Glibc
import Testing

/// One run of these tests at a time on a machine, also of several checkouts: they share names, and two CPUs are few.
enum Turn {
    /// Held by this process from the first laboratory to its end.
    private static let descriptor: Int32 = {
        let file = open("/run/vos-fastpath-\(Edge.instance).turn", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        // Longer than a whole run takes.
        _ = eventually(within: .seconds(900)) { flock(file, LOCK_EX | LOCK_NB) == 0 }
        return file
    }()

    /// The laboratory of all tests, when it is our turn.
    static func laboratory() throws -> Laboratory {
        try #require(descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) == 0, "another run goes on for 15 minutes")
        return try Laboratory(named: Edge.instance)
    }
}
