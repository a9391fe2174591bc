// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// What `doctor` looks at on every host. Nil is what could not be seen.
struct HostFacts {
    /// `uname -r`
    var release: String
    var isTooOld: Bool
    /// Older than Linux 5.18, which brought frames of several buffers.
    var lacksSeveralBuffers: Bool
    var hasBTF: Bool
    var hasBPFFileSystem: Bool
    /// Can a file be made there?
    var isBPFFileSystemReadOnly: Bool
    /// net.core.bpf_jit_enable
    var jit: Int?
    var hasPrivileges: Bool
    var isRoot: Bool
    /// /sys/kernel/security/lockdown: the chosen one of `none`, `integrity` and `confidentiality`.
    var lockdown: String?
    /// RLIMIT_MEMLOCK, bytes; nil for no limit.
    var lockedMemoryLimit: UInt64?
    /// Sockets on the SIP port.
    var listeners: [Listener]

    /// What the configuration file comes to.
    var configuration: ConfigurationState

    enum ConfigurationState {
        /// There is none at the path.
        case missing(path: String)
        case good(path: String, FilterSettings)
        case bad(Failure)
    }

    static func gather(_ instance: Instance) -> HostFacts {
        var name = utsname()
        uname(&name)
        var file = statvfs()
        let isReadOnly = statvfs(Host.bpfFileSystem, &file) == 0 && file.f_flag & UInt(ST_RDONLY) != 0
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit)
        let chosen = firstLine(of: "/sys/kernel/security/lockdown")?.split(separator: " ").first { $0.hasPrefix("[") }
        return HostFacts(
            release: withUnsafeBytes(of: name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) },
            isTooOld: kernelIsOlder(than: Host.oldestKernel),
            lacksSeveralBuffers: kernelIsOlder(than: (5, 18)),
            hasBTF: access(Host.btfPath, R_OK) == 0,
            hasBPFFileSystem: Host.hasBPFFileSystem,
            isBPFFileSystemReadOnly: isReadOnly,
            jit: firstLine(of: "/proc/sys/net/core/bpf_jit_enable").flatMap { Int($0) },
            hasPrivileges: Host.hasPrivileges,
            isRoot: geteuid() == 0,
            lockdown: chosen.map { String($0.dropFirst().dropLast()) },
            lockedMemoryLimit: limit.rlim_cur == .max ? nil : UInt64(limit.rlim_cur),
            listeners: Listener.onSIPPort(), configuration: configuration(instance))
    }

    private static func configuration(_ instance: Instance) -> ConfigurationState {
        let file = ConfigurationFile(path: instance.configurationPath, isNamed: false)
        let isThere = file.isThere
        do throws(Failure) {
            let settings = try file.read().settings
            return isThere ? .good(path: file.path, settings) : .missing(path: file.path)
        } catch {
            return .bad(error)
        }
    }
}

/// The checks of the host, in order of display.
func hostFindings(_ facts: HostFacts) -> [Finding] {
    [
        kernelFinding(facts), btfFinding(facts), bpfFileSystemFinding(facts), jitFinding(facts), memlockFinding(facts),
        privilegesFinding(facts), configurationFinding(facts), listenerFinding(facts),
    ]
}

private func kernelFinding(_ facts: HostFacts) -> Finding {
    let oldest = "Linux \(Host.oldestKernel.major).\(Host.oldestKernel.minor)"
    if facts.isTooOld {
        return .fail("kernel", "\(facts.release), older than \(oldest)", "Boot a newer kernel.")
    }
    if facts.lacksSeveralBuffers {
        return .warn(
            "kernel", "\(facts.release), older than Linux 5.18: no native mode with large MTUs",
            "Keep the MTU at 1500, or boot a newer kernel.")
    }
    return .ok("kernel", facts.release)
}

private func btfFinding(_ facts: HostFacts) -> Finding {
    guard facts.hasBTF else {
        return .fail(
            "BTF", "no \(Host.btfPath)", "Boot a kernel with CONFIG_DEBUG_INFO_BTF=y; Debian's and Ubuntu's have it.")
    }
    return .ok("BTF", Host.btfPath)
}

private func bpfFileSystemFinding(_ facts: HostFacts) -> Finding {
    guard facts.hasBPFFileSystem else {
        return .fail(
            "bpffs", "not mounted on \(Host.bpfFileSystem)",
            "mount -t bpf bpf \(Host.bpfFileSystem)  (inside 'ip netns exec': use 'nsenter --net=/run/netns/NAME' instead)"
        )
    }
    guard !facts.isBPFFileSystemReadOnly else {
        return .fail(
            "bpffs", "\(Host.bpfFileSystem) is mounted read-only",
            "mount -o remount,rw \(Host.bpfFileSystem); in a systemd unit set ProtectKernelTunables=no.")
    }
    return .ok("bpffs", "mounted on \(Host.bpfFileSystem)")
}

private func jitFinding(_ facts: HostFacts) -> Finding {
    switch facts.jit {
    case nil:
        .warn(
            "JIT", "net.core.bpf_jit_enable is not to be seen from this network namespace",
            "Look on the host: sysctl net.core.bpf_jit_enable")
    case 0:
        .warn("JIT", "off: each packet costs several times as much", "sysctl -w net.core.bpf_jit_enable=1")
    case 2:
        .warn("JIT", "on, with debug output to the kernel's log", "sysctl -w net.core.bpf_jit_enable=1")
    default: .ok("JIT", "on")
    }
}

/// From Linux 5.11 on maps count against the cgroup's memory, not against this limit; the oldest kernel that is
/// supported is newer, so the limit matters to AF_XDP sockets alone.
private func memlockFinding(_ facts: HostFacts) -> Finding {
    guard let limit = facts.lockedMemoryLimit else { return .ok("memlock", "no limit") }
    return .ok("memlock", "\(Format.count(limit / 1024)) KiB; this kernel does not count maps against it")
}

private func privilegesFinding(_ facts: HostFacts) -> Finding {
    guard facts.hasPrivileges else {
        return facts.isRoot
            ? .fail(
                "privileges", "root without CAP_NET_ADMIN and CAP_BPF: a container?",
                "Run it on the host, or give the container both (docker run --privileged).")
            : .fail("privileges", "not root: 'up' and most other commands would be refused", "Run it with sudo.")
    }
    if let lockdown = facts.lockdown, lockdown == "confidentiality" {
        return .warn(
            "privileges", "kernel lockdown 'confidentiality' refuses BPF programs some helpers",
            "If 'up' fails, boot with lockdown=integrity.")
    }
    return .ok("privileges", facts.isRoot ? "root" : "CAP_NET_ADMIN and CAP_BPF")
}

private func configurationFinding(_ facts: HostFacts) -> Finding {
    switch facts.configuration {
    case .missing(let path): .ok("config", "no \(path): \(Configuration().settings)")
    case .good(let path, let settings): .ok("config", "\(path): \(settings)")
    case .bad(let failure): .fail("config", "\(failure.subject): \(failure.reason)", failure.next)
    }
}

private func listenerFinding(_ facts: HostFacts) -> Finding {
    guard !facts.listeners.isEmpty else {
        return .warn(
            "UDP \(Listener.sipPort)", "nobody listens: good SIP would be answered by ICMP port unreachable",
            "Start the SIP server, or ignore this if it runs in a container or namespace of its own.")
    }
    let texts = facts.listeners.map(\.text)
    guard facts.listeners.contains(where: { !$0.isLoopback }) else {
        return .warn(
            "UDP \(Listener.sipPort)", "only on loopback: \(texts.joined(separator: ", "))",
            "Let the SIP server listen on an address that the interface carries.")
    }
    return .ok("UDP \(Listener.sipPort)", texts.joined(separator: ", "))
}

/// The first line of a small file under /proc or /sys, or nil.
func firstLine(of path: String) -> String? {
    guard let content = try? readFile(path) else { return nil }
    return content.split(separator: UInt8(ascii: "\n")).first.map { String(decoding: $0, as: UTF8.self) }
}
