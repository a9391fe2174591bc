/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath_program.h"

/* libbpf reads the ELF headers in place, so they need their alignment. */
static const unsigned char sip_logic[] __attribute__((aligned(8))) = {
#embed "../../build/sip_logic.bpf.o"
};

struct fastpath_object fastpath_sip_logic(void)
{
	return (struct fastpath_object){sip_logic, sizeof(sip_logic)};
}

/* The lab's programs. */
static const unsigned char flood[] __attribute__((aligned(8))) = {
#embed "../../build/lab/flood.bpf.o"
};

static const unsigned char empty_drop[] __attribute__((aligned(8))) = {
#embed "../../build/lab/empty_drop.bpf.o"
};

static const unsigned char floor_drop[] __attribute__((aligned(8))) = {
#embed "../../build/lab/floor.bpf.o"
};

static const unsigned char mix[] __attribute__((aligned(8))) = {
#embed "../../build/lab/mix.bpf.o"
};

struct fastpath_object fastpath_lab_flood(void)
{
	return (struct fastpath_object){flood, sizeof(flood)};
}

struct fastpath_object fastpath_lab_empty_drop(void)
{
	return (struct fastpath_object){empty_drop, sizeof(empty_drop)};
}

struct fastpath_object fastpath_lab_floor(void)
{
	return (struct fastpath_object){floor_drop, sizeof(floor_drop)};
}

struct fastpath_object fastpath_lab_mix(void)
{
	return (struct fastpath_object){mix, sizeof(mix)};
}
