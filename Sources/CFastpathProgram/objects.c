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
