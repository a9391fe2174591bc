/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath_program.h"

/* libbpf reads the ELF headers in place, so they need their alignment. */
#define ALIGNED __attribute__((aligned(8)))

static const unsigned char sip_logic_object[] ALIGNED = {
#embed "../../build/sip_logic.bpf.o"
};

static const unsigned char lab_flood_object[] ALIGNED = {
#embed "../../build/lab/flood.bpf.o"
};

static const unsigned char lab_empty_drop_object[] ALIGNED = {
#embed "../../build/lab/empty_drop.bpf.o"
};

static const unsigned char lab_floor_object[] ALIGNED = {
#embed "../../build/lab/floor.bpf.o"
};

static const unsigned char lab_mix_object[] ALIGNED = {
#embed "../../build/lab/mix.bpf.o"
};

static const unsigned char lab_policy_probe_object[] ALIGNED = {
#embed "../../build/lab/policy_probe.bpf.o"
};

#define ACCESSOR(name)                                                                                       \
	struct fastpath_object fastpath_##name(void)                                                         \
	{                                                                                                    \
		struct fastpath_object object = {name##_object, sizeof(name##_object)};                      \
		return object;                                                                               \
	}

ACCESSOR(sip_logic)
ACCESSOR(lab_flood)
ACCESSOR(lab_empty_drop)
ACCESSOR(lab_floor)
ACCESSOR(lab_mix)
ACCESSOR(lab_policy_probe)
