// SPDX-License-Identifier: Apache-2.0
import CLibPcap
import FastpathCore
import Glibc

/// The functions of libpcap that read files, found when they are first needed (Sources/CLibPcap/shim.h says why).
struct LibPcap {
    let open: fastpath_pcap_open
    let next: fastpath_pcap_next
    let dataLink: fastpath_pcap_datalink
    let dataLinkName: fastpath_pcap_datalink_text
    let dataLinkDescription: fastpath_pcap_datalink_text
    let lastError: fastpath_pcap_error
    let close: fastpath_pcap_close

    /// The library's names: Debian's, which kept the name of an old version, and everybody else's.
    private static let names = ["libpcap.so.0.8", "libpcap.so.1"]

    /// Throws `.unsupported` where the library is not installed. It stays loaded until the process ends.
    static func load() throws(Failure) -> LibPcap {
        guard let library = names.lazy.compactMap({ dlopen($0, RTLD_NOW) }).first else {
            throw Failure(
                .unsupported, tried: "load libpcap", on: names[0],
                because: dlerror().map { String(cString: $0) } ?? "it was not found", next: "apt-get install libpcap0.8"
            )
        }
        return LibPcap(
            open: try function("pcap_open_offline_with_tstamp_precision", library),
            next: try function("pcap_next_ex", library),
            dataLink: try function("pcap_datalink", library),
            dataLinkName: try function("pcap_datalink_val_to_name", library),
            dataLinkDescription: try function("pcap_datalink_val_to_description", library),
            lastError: try function("pcap_geterr", library),
            close: try function("pcap_close", library))
    }

    private static func function<Pointer>(
        _ name: String, _ library: UnsafeMutableRawPointer
    ) throws(Failure) -> Pointer {
        guard let symbol = dlsym(library, name) else {
            throw Failure(
                .unsupported, tried: "load libpcap", on: name, because: "this libpcap does not have the function",
                next: "Install libpcap 1.5 or newer.")
        }
        return unsafeBitCast(symbol, to: Pointer.self)
    }
}
