-- One row per (frame_id, model, detection), whatever was delivered twice.
--
-- All rows of a frame and model come from one run: an answer goes before an error (so a replayed dead letter
-- counts), then the latest inferred_at, then worker, version and status for the sake of one order. Rows of one run
-- that agree in their detection are copies of one row, so MIN gives that row's own value.
-- stream and captured_at are functions of frame_id: as keys here, they let filters on them reach the files.
--
-- A filter on dt or hour reads every file all the same: they are the first delivery's, and a frame that was delivered
-- in two hours must stay one. Filter by captured_at; or write the same over `detections WHERE dt …`, as docs/aws.md
-- does.
CREATE OR REPLACE VIEW detections_unique AS
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
    detection,
    MIN(class_id) AS class_id,
    MIN(label) AS label,
    MIN(score) AS score,
    MIN(x) AS x,
    MIN(y) AS y,
    MIN(w) AS w,
    MIN(h) AS h,
    MIN(track_id) AS track_id,
    MIN(extra) AS extra,
    MIN(object_uri) AS object_uri,
    MIN(object_offset) AS object_offset,
    MIN(object_len) AS object_len,
    MIN(inferred_at) AS inferred_at,
    MIN(latency_ms) AS latency_ms,
    MIN(worker) AS worker,
    SUBSTR(MIN(dt || hour), 1, 10) AS dt,
    SUBSTR(MIN(dt || hour), 11, 2) AS hour
FROM (
    SELECT
        stream, epoch, seq, frame_id, media_time, captured_at, clock,
        model, model_version, status, reason,
        detection, class_id, label, score, x, y, w, h, track_id, extra,
        object_uri, object_offset, object_len,
        inferred_at, latency_ms, worker, dt, hour,
        RANK() OVER (
            PARTITION BY stream, captured_at, frame_id, model
            ORDER BY
                CASE WHEN status = 'error' THEN 1 ELSE 0 END, inferred_at DESC, worker, model_version, status
        ) AS place
    FROM detections
) AS runs
WHERE place = 1
GROUP BY stream, captured_at, frame_id, model, detection
