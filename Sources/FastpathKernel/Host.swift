// SPDX-License-Identifier: Apache-2.0
import CLinux
import FastpathCore
import Glibc

/// What a host must have before the kernel is asked for anything.
public enum Host {
    /// The oldest kernel that has what the commands use (SO_NETNS_COOKIE and XDP test runs with a context: 5.14).
    public static let oldestKernel = (major: 5, minor: 15)

    public static let bpfFileSystem = "/sys/fs/bpf"

    /// The kernel's type information, which CO-RE relocations are resolved against.
    public static let btfPath = "/sys/kernel/btf/vmlinux"

    private static let bpfFileSystemMagic = 0xcafe_4a11  // BPF_FS_MAGIC, linux/magic.h

    /// Throws one clear sentence for the first thing that is missing.
    public static func requireReady() throws(Failure) {
        guard hasPrivileges else {
            throw Failure(
                .notRoot, tried: "speak to the kernel's BPF", on: "user \(geteuid())",
                because: "it takes root, or CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN", next: "Run it with sudo.")
        }
        guard !kernelIsOlder(than: oldestKernel) else {
            throw Failure(
                .unsupported, tried: "run on this kernel", on: "uname -r",
                because: "it is older than Linux \(oldestKernel.major).\(oldestKernel.minor)",
                next: "Boot a newer kernel.")
        }
        guard access(btfPath, R_OK) == 0 else {
            throw Failure(
                .unsupported, tried: "read the kernel's type information", on: btfPath,
                because: "this kernel was built without BTF",
                next: "Boot a kernel with CONFIG_DEBUG_INFO_BTF=y; Debian's have it.")
        }
        guard hasBPFFileSystem else {
            throw Failure(
                .unsupported, tried: "find the BPF file system", on: bpfFileSystem, because: "none is mounted there",
                next:
                    "Run `mount -t bpf bpf \(bpfFileSystem)`; inside `ip netns exec` use `nsenter --net=/run/netns/NAME` instead, which does not hide it."
            )
        }
    }

    /// CAP_SYS_ADMIN (which CAP_BPF is a part of) and CAP_NET_ADMIN, as the process holds them now.
    public static var hasPrivileges: Bool {
        let netAdmin: UInt64 = 1 << 12
        let sysAdmin: UInt64 = 1 << 21
        let bpf: UInt64 = 1 << 39
        let held = effectiveCapabilities
        return held & netAdmin != 0 && (held & sysAdmin != 0 || held & bpf != 0)
    }

    /// What an AF_XDP socket takes beside: CAP_NET_RAW for itself.
    public static var canMakeSockets: Bool {
        let netRaw: UInt64 = 1 << 13
        return hasPrivileges && effectiveCapabilities & netRaw != 0
    }

    public static var hasBPFFileSystem: Bool {
        var status = statfs()
        return statfs(bpfFileSystem, &status) == 0 && Int(status.f_type) == bpfFileSystemMagic
    }

    /// Does this process get no privileges by the files that it executes (PR_SET_NO_NEW_PRIVS)?
    public static var hasNoNewPrivileges: Bool { ownStatus("NoNewPrivs") == "1" }

    /// Does a file give capabilities to whoever executes it (capabilities(7))?
    public static func hasCapabilities(file path: String) -> Bool {
        getxattr(path, "security.capability", nil, 0) > 0
    }

    private static var effectiveCapabilities: UInt64 { ownStatus("CapEff").flatMap { UInt64($0, radix: 16) } ?? 0 }

    /// A line of proc(5)'s status file, without its name.
    private static func ownStatus(_ name: String) -> String? {
        guard let content = try? readFile("/proc/self/status") else { return nil }
        let lines = String(decoding: content, as: UTF8.self).split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("\(name):") }) else { return nil }
        return String(line.dropFirst(name.count + 1).drop { $0 == "\t" || $0 == " " })
    }
}
