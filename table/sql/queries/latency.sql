-- Milliseconds from capture to answer, per model and stream: median, 99th percentile, worst.
-- Percentiles are nearest-rank: the smallest latency that at least 50 (99) of 100 answers did not exceed.
SELECT
    model,
    stream,
    COUNT(*) AS frames,
    MIN(CASE WHEN place * 100 >= answers * 50 THEN latency_ms END) AS p50_ms,
    MIN(CASE WHEN place * 100 >= answers * 99 THEN latency_ms END) AS p99_ms,
    MAX(latency_ms) AS max_ms
FROM (
    SELECT
        model, stream, latency_ms,
        ROW_NUMBER() OVER (PARTITION BY model, stream ORDER BY latency_ms) AS place,
        COUNT(*) OVER (PARTITION BY model, stream) AS answers
    FROM frames
    WHERE status <> 'error'
) AS ranked
GROUP BY model, stream
ORDER BY model, stream
