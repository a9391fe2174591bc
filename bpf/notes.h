/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What is written down beside the public counters: what rules in dry run would
 * have dropped, and samples of decisions.
 */
#ifndef FASTPATH_NOTES_H
#define FASTPATH_NOTES_H

static __always_inline void count_note(__u32 note)
{
	__u64 *count = bpf_map_lookup_elem(&edge_notes, &note);

	if (count)
		*count += 1;
}

static __always_inline struct packet_note *packet_note(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&packet_notes, &key);
}

/*
 * Is a packet dropped that a rule finds guilty? Not where the rule is in dry run;
 * then the first such rule is remembered, and the packet goes on as if there were
 * no such rule.
 */
static __always_inline bool drops(__u64 on, enum fastpath_reason reason)
{
	struct packet_note *note;

	if (!IS_ON(on, DRY_RUN) || !(settings.dry_run >> reason & 1))
		return true;
	note = packet_note();
	if (note && note->would_be == FASTPATH_REASON_IGNORED)
		note->would_be = reason;
	return false;
}

/* Before anything can be found. */
static __always_inline void begin_notes(__u64 on)
{
	struct packet_note *note;

	if (!IS_ON(on, DRY_RUN))
		return;
	note = packet_note();
	if (note)
		*note = (struct packet_note){.would_be = FASTPATH_REASON_IGNORED};
}

/* Whose packet it is, and where its payload lies. */
static __always_inline void note_datagram(__u64 on, const struct sip_datagram *sip)
{
	struct packet_note *note;

	if (!IS_ON(on, DRY_RUN))
		return;
	note = packet_note();
	if (!note)
		return;
	note->source = sip->source;
	note->payload_offset = sip->payload_offset;
	note->payload_length = sip->payload_length;
}

/* The source, with what its packet began with. */
static __always_inline void remember_source(struct xdp_md *ctx, const struct packet_note *note)
{
	struct fastpath_dry_run_key key = {.reason = note->would_be, .is_ipv6 = note->source.is_ipv6};
	struct fastpath_dry_run_source new = {.packets = 1, .last = clock_micros()}, *known;
	__u32 length = note->payload_length, offset = note->payload_offset;

	if (note->source.is_ipv6)
		key.address[0] = note->source.high;
	key.address[1] = note->source.is_ipv6 ? note->source.low : note->source.high;
	if (length > FASTPATH_DRY_RUN_LINE)
		length = FASTPATH_DRY_RUN_LINE;
	if (offset <= LARGEST_OFFSET)
		frame_copy(ctx, offset, new.line, length, FASTPATH_DRY_RUN_LINE);
	known = bpf_map_lookup_elem(&dry_run_sources, &key);
	if (known)
		new.packets += known->packets;
	bpf_map_update_elem(&dry_run_sources, &key, &new, BPF_ANY);
}

/* What a rule in dry run would have done, or IGNORED. */
ON_ITS_OWN int finish_notes(struct xdp_md *ctx)
{
	struct packet_note *note = packet_note();

	if (!note || note->would_be >= FASTPATH_COUNTERS_ENTRIES)
		return FASTPATH_REASON_IGNORED;
	count_note(FASTPATH_NOTE_DRY_RUN + note->would_be);
	remember_source(ctx, note);
	return note->would_be;
}

/* Is it this sample's turn, and is there room under the cap? */
static __always_inline bool takes_sample(struct fastpath_sample_control *control)
{
	__u32 every = control->every, second;
	struct packet_note *note = packet_note();
	__u64 taken;

	if (!note || ++note->skipped < every)
		return false;
	note->skipped = 0;
	second = clock_second();
	taken = control->taken;
	if (taken >> 32 != second)
		taken = (__u64)second << 32;
	if ((__u32)taken >= control->per_second) {
		count_note(FASTPATH_NOTE_OVER_CAP);
		return false;
	}
	control->taken = taken + 1;
	return true;
}

ON_ITS_OWN int take_sample(struct xdp_md *ctx, __u32 reason, __u32 would_be)
{
	struct fastpath_sample_control *control;
	struct fastpath_sample sample = {
		.interface = ctx->ingress_ifindex,
		.queue = ctx->rx_queue_index,
		.length = frame_length(ctx),
		.reason = reason,
		.would_be = would_be,
	};
	__u32 key = 0;
	long refused;

	control = bpf_map_lookup_elem(&sample_control, &key);
	if (!control || !takes_sample(control))
		return 0;
	sample.time = clock_micros();
	sample.captured = sample.length < control->length ? sample.length : control->length;
	/* The helper puts so many bytes of the frame behind what it is given, wherever the driver has them.
	 */
	refused = bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU | (__u64)sample.captured << 32,
					&sample, sizeof(sample));
	count_note(refused ? FASTPATH_NOTE_UNREAD : FASTPATH_NOTE_SAMPLED);
	return 0;
}

static __always_inline void sample_decision(struct xdp_md *ctx, enum fastpath_reason reason, __u32 would_be)
{
	struct fastpath_sample_control *control;
	__u32 key = 0, wanted;

	control = bpf_map_lookup_elem(&sample_control, &key);
	if (!control)
		return;
	wanted = *(volatile __u32 *)&control->reasons;
	if (wanted >> reason & 1 || (would_be != FASTPATH_REASON_IGNORED && wanted >> (would_be & 31) & 1))
		take_sample(ctx, reason, would_be);
}

#endif /* FASTPATH_NOTES_H */
