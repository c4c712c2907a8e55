-- How long each track stayed in the picture, longest first: seconds of media time from its first frame to its last.
-- No built-in kind of model gives a track_id: without one that does, this finds nothing.
SELECT
    stream,
    track_id,
    MIN(label) AS label,
    MIN(captured_at) AS first_seen,
    MAX(captured_at) AS last_seen,
    CAST(MAX(media_time) - MIN(media_time) AS DOUBLE) / 90000 AS dwell_s,
    COUNT(*) AS detections
FROM detections_unique
WHERE status = 'ok' AND track_id IS NOT NULL
GROUP BY stream, epoch, model, track_id
ORDER BY dwell_s DESC, stream, track_id
