-- How many detections of each label there were in each minute, per stream.
SELECT
    date_trunc('minute', captured_at) AS minute,
    stream,
    label,
    COUNT(*) AS detections
FROM detections_unique
WHERE status = 'ok'
GROUP BY date_trunc('minute', captured_at), stream, label
ORDER BY minute, stream, label
