-- How many frames that came to each model got no answer, per stream: the share lost, worst first.
SELECT
    stream,
    model,
    COUNT(*) AS frames,
    COUNT(CASE WHEN status = 'ok' THEN 1 END) AS with_detections,
    COUNT(CASE WHEN status = 'none' THEN 1 END) AS without_detections,
    COUNT(CASE WHEN status = 'error' THEN 1 END) AS lost,
    CAST(COUNT(CASE WHEN status = 'error' THEN 1 END) AS DOUBLE) / COUNT(*) AS share_lost
FROM frames
GROUP BY stream, model
ORDER BY share_lost DESC, stream, model
