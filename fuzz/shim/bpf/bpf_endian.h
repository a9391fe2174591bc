/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of libbpf's. */
#define bpf_htons(number)	__builtin_bswap16(number)
#define bpf_ntohs(number)	__builtin_bswap16(number)
#define bpf_htonl(number)	__builtin_bswap32(number)
#define bpf_ntohl(number)	__builtin_bswap32(number)
#define bpf_be64_to_cpu(number) __builtin_bswap64(number)
