// PipelineMetrics: where the time of a put goes, what the index and the slab list do. The points
// in time between which is measured are named in Docs/operate/monitoring.md.

internal import Engine

enum PipelineMetrics {
    static let families: [MetricFamily] = times + levels + beyond

    private static let times: [MetricFamily] = [
        .histogram(
            "memkv_persist_us", "A put, from its arrival to its acknowledgement, in microseconds.",
            .requests, .persist),
        .histogram(
            "memkv_persist_pre_wait_us",
            "A put, from its arrival to its payload being handed to the drive, in microseconds.",
            .requests, .persistPreWait),
        .histogram(
            "memkv_writer_wait_us",
            "A payload write's wait for a place in its drive's queue, in microseconds.",
            .waits, .writerWait),
        .histogram(
            "memkv_persist_post_wait_us",
            "A put, from its payload's last write to its acknowledgement, in microseconds.",
            .requests, .persistPostWait),
        .histogram(
            "memkv_iouring_write_us", "A write, submission to completion, in microseconds.",
            .drives, .deviceWrite),
        .histogram(
            "memkv_iouring_fsync_us", "A flush, submission to completion, in microseconds.",
            .drives, .deviceFlush),
        .histogram(
            "memkv_iouring_fsync_batch_size", "Changes made durable by one flush.", .sizes,
            .flushBatchSize),
        .histogram(
            "memkv_allocate_duration_us",
            "A put's wait for slots and for room in journal and dirty queue, in microseconds.",
            .waits, .slotAllocate),
        .histogram(
            "memkv_journal_flush_duration_us",
            "From the first record of a flush to its end, in microseconds.", .drives,
            .journalFlush),
    ]

    private static let levels: [MetricFamily] = [
        .gauge("memkv_journal_pending_entries", "Journal records that aren't durable yet.") {
            $0.sum(.journalPendingEntries)
        },
        .gauge("memkv_dirty_queue_depth", "Changes that no checkpoint has brought into a leaf.") {
            $0.sum(.dirtyEntries)
        },
        .counter("memkv_btree_cache_hits_total", "Leaves found in memory.") {
            $0.sum(.leafCacheHits)
        },
        .counter("memkv_btree_cache_misses_total", "Leaves read from their drive.") {
            $0.sum(.leafCacheMisses)
        },
        .histogram(
            "memkv_btree_leaf_miss_us", "Reading a leaf, in microseconds.", .drives, .leafMiss),
        .counter(
            "memkv_freelist_cas_retries_total",
            "Compare-and-swaps of the slab list that lost against another thread."
        ) { $0.slabs.casRetries },
        .counter(
            "memkv_slab_double_free_total",
            "Slabs that came back though nobody had them; each was refused."
        ) { $0.slabs.doubleFrees },
    ]

    private static let beyond: [MetricFamily] = [
        .counter("memkv_checkpoints_total", "Checkpoints completed.") { $0.sum(.checkpoints) },
        .histogram(
            "memkv_checkpoint_duration_seconds", "A checkpoint, begin to end.",
            HistogramScale.drives.inSeconds, .checkpoint),
        .histogram(
            "memkv_recovery_duration_seconds", "A shard's recovery, begin to end.",
            HistogramScale.drives.inSeconds, .recovery),
    ]
}
