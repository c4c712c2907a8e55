-- One row per frame and model: the run that detections_unique shows, with how many detections it found and the
-- highest score among them.
--
-- All rows of a frame and model agree in what is not a detection's own, so MIN gives the frame's value.
--
-- As in detections_unique, filters on stream and captured_at reach the files, and one on dt or hour reads every file.
CREATE OR REPLACE VIEW frames AS
SELECT
    stream,
    MIN(epoch) AS epoch,
    MIN(seq) AS seq,
    frame_id,
    MIN(media_time) AS media_time,
    captured_at,
    MIN(clock) AS clock,
    model,
    MIN(model_version) AS model_version,
    MIN(status) AS status,
    MIN(reason) AS reason,
    COUNT(CASE WHEN status = 'ok' THEN 1 END) AS detections,
    MAX(score) AS max_score,
    MIN(object_uri) AS object_uri,
    MIN(object_offset) AS object_offset,
    MIN(object_len) AS object_len,
    MIN(inferred_at) AS inferred_at,
    MIN(latency_ms) AS latency_ms,
    MIN(worker) AS worker,
    SUBSTR(MIN(dt || hour), 1, 10) AS dt,
    SUBSTR(MIN(dt || hour), 11, 2) AS hour
FROM detections_unique
GROUP BY stream, captured_at, frame_id, model
