// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

/// A file of addresses, one a line, as it was named on the command line.
struct ListFile {
    /// "-" stands for standard input.
    let path: String

    /// What messages call it.
    var name: String { path == "-" ? "standard input" : path }

    func read() throws(Failure) -> AddressList {
        AddressList(parsing: try readFile(path == "-" ? "/dev/stdin" : path))
    }
}

extension Output {
    /// Names every line that is no address.
    func warnings(of badLines: [AddressList.BadLine], in file: String) {
        for bad in badLines { warning("\(file), line \(bad.number): \"\(bad.text)\": \(bad.reason)") }
    }
}
