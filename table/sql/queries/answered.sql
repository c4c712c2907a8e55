-- How many frames have their answer in the table, per connection, model and status: the table's part of the audit.
SELECT
    stream,
    epoch,
    model,
    status,
    COUNT(*) AS frames,
    MAX(media_time) AS last_media_time
FROM frames
GROUP BY stream, epoch, model, status
ORDER BY stream, epoch, model, status
