// SPDX-License-Identifier: Apache-2.0
import Testing

/// The whole of it: the real command, in the kernel, on hosts of our own. One at a time, as root.
/// The suites are extensions of this one, a file each.
@Suite(.serialized) struct EndToEndTests {}
