-- Frames that were not answered, per stream, model and reason, beside all that were tried.
SELECT
    stream,
    model,
    reason,
    COUNT(*) AS failed,
    MAX(tried) AS tried,
    MAX(captured_at) AS last_failed
FROM (
    SELECT
        stream, model, status, reason, captured_at,
        COUNT(*) OVER (PARTITION BY stream, model) AS tried
    FROM frames
) AS attempts
WHERE status = 'error'
GROUP BY stream, model, reason
ORDER BY failed DESC, stream, model, reason
