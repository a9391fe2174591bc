// SPDX-License-Identifier: Apache-2.0
import CLibBPF
import CLinux
import FastpathCore
import Glibc

/// Puts XDP programs on interfaces by netlink, not by a bpf_link: so whoever runs `ip link` can take
/// ours away again, as the contract has it.
public enum XDP {
    /// Attaches `program`, in place of `old` in one atomic step, or where nothing is attached.
    /// Interfaces are those of the calling thread's namespace. Fails with EEXIST where another program
    /// than `old` is attached by now, with EBUSY under a bpf_link.
    public static func attach(
        _ program: Program, to interface: UInt32, mode: XDPMode, replacing old: Program?
    ) throws(Failure) {
        _ = LibBPFLog.installed
        var options = bpf_xdp_attach_opts()
        options.sz = optionsSize(upTo: \bpf_xdp_attach_opts.old_prog_fd)
        var flags = flag(mode)
        if let old {
            options.old_prog_fd = old.fd
            flags |= UInt32(XDP_FLAGS_REPLACE)
        } else {
            flags |= UInt32(XDP_FLAGS_UPDATE_IF_NOEXIST)
        }
        let result = bpf_xdp_attach(Int32(interface), program.fd, flags, &options)
        if result == -EBUSY {
            throw Failure(
                .system(errno: EBUSY), tried: "attach the program in \(mode.rawValue) mode", on: "ifindex \(interface)",
                because: "a bpf_link or the driver holds the interface's XDP hook (EBUSY)",
                next: "End the process that holds it: `bpftool link show`, `bpftool net`.", details: LibBPFLog.take())
        }
        _ = try check(
            result, "attach the program in \(mode.rawValue) mode", on: "ifindex \(interface)",
            next: "`vos-fastpath doctor` says what the driver supports.")
    }

    /// Takes `program` off the interface; nothing happens where another is attached by now.
    public static func detach(_ program: Program, from interface: UInt32, mode: XDPMode) throws(Failure) {
        var options = bpf_xdp_attach_opts()
        options.sz = optionsSize(upTo: \bpf_xdp_attach_opts.old_prog_fd)
        options.old_prog_fd = program.fd
        let result = bpf_xdp_detach(Int32(interface), flag(mode) | UInt32(XDP_FLAGS_REPLACE), &options)
        if result == -EEXIST || result == -ENODEV { return }
        _ = try check(
            result, "detach the program", on: "ifindex \(interface)", next: "Try `ip link set dev IFACE xdp off`.")
    }

    private static func flag(_ mode: XDPMode) -> UInt32 {
        switch mode {
        case .native: UInt32(XDP_FLAGS_DRV_MODE)
        case .generic: UInt32(XDP_FLAGS_SKB_MODE)
        case .offloaded: UInt32(XDP_FLAGS_HW_MODE)
        }
    }
}
