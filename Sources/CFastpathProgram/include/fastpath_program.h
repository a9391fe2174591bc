/* SPDX-License-Identifier: Apache-2.0 */
/* BPF objects, as the build made them, inside the command. */
#ifndef FASTPATH_PROGRAM_H
#define FASTPATH_PROGRAM_H

#include <stddef.h>

/* An ELF object for libbpf. */
struct fastpath_object {
	const unsigned char *bytes;
	size_t length;
};

/* build/sip_logic.bpf.o: the edge. */
struct fastpath_object fastpath_sip_logic(void);

/* build/lab/: the flood generator and the yardsticks of the bench; names and maps are in fastpath_lab.h. */
struct fastpath_object fastpath_lab_flood(void);
struct fastpath_object fastpath_lab_empty_drop(void);
struct fastpath_object fastpath_lab_floor(void);
struct fastpath_object fastpath_lab_mix(void);
struct fastpath_object fastpath_lab_policy_probe(void);

#endif
