-- The hours (UTC) with the most detections, per stream, busiest first.
SELECT
    date_trunc('hour', captured_at) AS busy_hour,
    stream,
    COUNT(*) AS detections,
    COUNT(DISTINCT frame_id) AS frames_with_detections
FROM detections_unique
WHERE status = 'ok'
GROUP BY date_trunc('hour', captured_at), stream
ORDER BY detections DESC, busy_hour, stream
LIMIT 24
