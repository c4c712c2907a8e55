-- When each label was last seen on each stream, with the frame to look at.
SELECT stream, label, captured_at AS last_seen, score, frame_id, object_uri
FROM (
    SELECT
        stream, label, captured_at, score, frame_id, object_uri,
        ROW_NUMBER() OVER (
            PARTITION BY stream, label
            ORDER BY captured_at DESC, score DESC, frame_id, model, detection
        ) AS place
    FROM detections_unique
    WHERE status = 'ok'
) AS seen
WHERE place = 1
ORDER BY stream, label
