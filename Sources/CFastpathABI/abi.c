/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath_abi.h"

#include <stddef.h>

static const struct fastpath_map_info maps[] = {
#define X(NAME, name, key, value, entries) {#name, key, value, entries},
	FASTPATH_MAPS(X)
#undef X
};

static const struct fastpath_reason_info reasons[] = {
#define X(NAME, name, id, VERDICT, label, sentence) {#name, label, sentence, id, FASTPATH_VERDICT_##VERDICT},
	FASTPATH_REASONS(X)
#undef X
};

static const struct fastpath_switch_info switches[] = {
#define X(NAME, name, bit, sentence) {#name, sentence, FASTPATH_SWITCH_##NAME},
	FASTPATH_SWITCHES(X)
#undef X
};

static const struct fastpath_class_info classes[] = {
#define X(NAME, name, sentence) {#name, sentence},
	FASTPATH_CLASSES(X)
#undef X
};

static const struct fastpath_consumer_count_info consumer_counts[] = {
#define X(NAME, name, label) {#name, label},
	FASTPATH_CONSUMER_COUNTS(X)
#undef X
};

const struct fastpath_map_info *fastpath_map_row(enum fastpath_map map)
{
	return &maps[map];
}

const struct fastpath_reason_info *fastpath_reason_row(uint32_t index)
{
	return index < sizeof(reasons) / sizeof(reasons[0]) ? &reasons[index] : NULL;
}

const struct fastpath_switch_info *fastpath_switch_row(uint32_t index)
{
	return index < sizeof(switches) / sizeof(switches[0]) ? &switches[index] : NULL;
}

const struct fastpath_class_info *fastpath_class_row(uint32_t index)
{
	return index < sizeof(classes) / sizeof(classes[0]) ? &classes[index] : NULL;
}

const struct fastpath_consumer_count_info *fastpath_consumer_count_row(uint32_t index)
{
	return index < sizeof(consumer_counts) / sizeof(consumer_counts[0]) ? &consumer_counts[index] : NULL;
}

/* Every counted reason has a slot of its own in xdp_counters; the uncounted one has none. */
#define X(NAME, name, id, VERDICT, label, sentence)                                                          \
	_Static_assert((id) < FASTPATH_COUNTERS_ENTRIES || (id) == (int)FASTPATH_REASON_IGNORED,             \
		       "reason " #name " has no counter");
FASTPATH_REASONS(X)
#undef X
_Static_assert((int)FASTPATH_REASON_IGNORED >= (int)FASTPATH_COUNTERS_ENTRIES,
	       "ignored packets are not counted");
_Static_assert(sizeof(reasons) / sizeof(reasons[0]) == (size_t)FASTPATH_COUNTERS_ENTRIES + 1,
	       "one counter for each reason but ignored");
