/* SPDX-License-Identifier: Apache-2.0 */
/* What Swift imports. */
#include "fastpath_abi.h"
#include "fastpath_lab.h"
#include "fastpath_policy.h"
