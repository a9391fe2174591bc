// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import FastpathKernel

/// A file of addresses and prefixes, one a line, as it was named on the command line.
struct ListFile {
    /// "-" stands for standard input.
    let path: String

    /// What messages call it.
    var name: String { path == "-" ? "standard input" : path }

    func read(addressesOnly: Bool = false) throws(Failure) -> AddressList {
        AddressList(parsing: try readFile(path == "-" ? "/dev/stdin" : path), addressesOnly: addressesOnly)
    }
}

extension Output {
    /// Names every line that is no address.
    func warnings(of badLines: [AddressList.BadLine], in file: String) {
        for bad in badLines { warning("\(file), line \(bad.number): \"\(bad.text)\": \(bad.reason)") }
    }

    /// Names every line that was refused.
    func warnings(of refused: [RefusedLine], in file: String) {
        for line in refused {
            warning(
                "\(file), line \(line.number): \"\(line.prefix)\" is refused: \(line.refusal.reason(for: line.prefix))")
        }
    }
}
