#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that the build, the demo and the tests need, and mounts the BPF file system.
# Starts no service: packages that would (kamailio, openssh-server) are told not to.
set -euo pipefail

build=(bpftool libbpf-dev libelf-dev zlib1g-dev libpcap-dev libsqlite3-dev pkg-config make binutils)
lab=(iproute2 ethtool kamailio sip-tester sipvicious nftables ipset iptables openssh-server openssh-client util-linux jq tcpdump tshark)
check=(shellcheck clang-format-14)
packaging=(systemd docker-compose python3 strace) # checked with, never started

missing=()
for package in "${build[@]}" "${lab[@]}" "${check[@]}" "${packaging[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done

if [ "$(id -u)" != 0 ]; then
    echo "setup: this needs root, to install packages and to load programs into the kernel. Run it with sudo." >&2
    exit 1
fi

if [ "${#missing[@]}" -gt 0 ]; then
    if ! command -v apt-get > /dev/null; then
        echo "setup: missing: ${missing[*]}. Install them by your distribution's means; this script knows Debian's apt-get." >&2
        exit 1
    fi
    echo "setup: installing ${missing[*]}"
    # invoke-rc.d asks this script before it starts anything; 101 means no.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } > "$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "setup: apt-get failed (its last lines are above). Mend that and run it again." >&2
        exit 1
    fi
    rm -f "$log"
fi

if [ "$(stat -f -c %T /sys/fs/bpf 2>/dev/null)" != bpf_fs ]; then
    mount -t bpf bpf /sys/fs/bpf || {
        echo "setup: cannot mount the BPF file system on /sys/fs/bpf; the kernel may lack CONFIG_BPF_SYSCALL." >&2
        exit 1
    }
fi
