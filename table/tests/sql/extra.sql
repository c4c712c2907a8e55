-- What an algorithm says besides the columns, read from its JSON.
SELECT
    frame_id,
    json_extract_scalar(extra, '$.eyes[0].x') AS x,
    json_extract_scalar(extra, '$.eyes[1]') AS eye,
    json_extract_scalar(extra, '$.seen') AS seen,
    json_extract_scalar(extra, '$.eyes') AS with_parts,
    json_extract_scalar(extra, '$.none') AS absent
FROM detections_unique
WHERE status = 'ok' AND detection = 0
ORDER BY frame_id, model
