"""Makes up a table: ten million rows in Parquet files as the filer leaves them, the same at every run.

Twenty streams, a frame a second of each, one to nine detections in a frame (nothing in one of twenty). Rows lie in the
order of their delivery, a file for each hour of it. Where frames are repeated, one of a thousand is delivered again by
another worker half a minute later.
"""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

STREAMS = 20
FRAMES_PER_HOUR = STREAMS * 3_600
# Detections of a frame, and so its rows, on average.
ROWS_PER_FRAME = 4.8
REPEATED = 1_000

TIME = pa.timestamp("us", tz="UTC")
# The columns of `services/src/delivery/columns.rs`; those after the name of which stands a "?" may be null.
COLUMNS = {
    "stream": pa.string(),
    "epoch": pa.int64(),
    "seq": pa.int64(),
    "frame_id": pa.string(),
    "media_time": pa.int64(),
    "captured_at": TIME,
    "clock": pa.string(),
    "model": pa.string(),
    "model_version": pa.string(),
    "status": pa.string(),
    "reason?": pa.string(),
    "detection": pa.int32(),
    "class_id?": pa.int32(),
    "label?": pa.string(),
    "score?": pa.float32(),
    "x?": pa.float32(),
    "y?": pa.float32(),
    "w?": pa.float32(),
    "h?": pa.float32(),
    "track_id?": pa.string(),
    "extra?": pa.string(),
    "object_uri?": pa.string(),
    "object_offset?": pa.int64(),
    "object_len?": pa.int64(),
    "inferred_at": TIME,
    "latency_ms": pa.int64(),
    "worker": pa.string(),
}
SCHEMA = pa.schema([pa.field(name.rstrip("?"), kind, name.endswith("?")) for name, kind in COLUMNS.items()])

# One hour of delivery. Times are microseconds: streams differ in the moment of their second.
HOUR = """
WITH frames AS (
    SELECT
        number,
        number % {streams} AS camera,
        number // {streams} AS seq,
        CAST(hash(number) % 1_000_000_007 AS BIGINT) AS chance,
        TIMESTAMP '2026-11-01 00:00:00' + to_microseconds(
            (number // {streams}) * 1_000_000 + (number % {streams}) * 47_123
        ) AS captured_at
    FROM range({first}, {last}) AS numbers(number)
),
deliveries AS (
    SELECT *, 40 + chance % 160 AS latency_ms, 'w' || camera % 4 AS worker FROM frames
    WHERE number >= {from_frame} AND number < {last}
    UNION ALL
    SELECT *, 30_040 + chance % 160, 'w' || (camera + 1) % 4 FROM frames
    WHERE {repeated} AND chance % {one_of} = 0 AND number >= {first} AND number < {last} - {late}
),
answers AS (
    SELECT *, chance % 20 = 7 AS nothing, captured_at + to_milliseconds(latency_ms) AS inferred_at FROM deliveries
),
found AS (
    SELECT *, unnest(range(CASE WHEN nothing THEN 1 ELSE 1 + chance // 20 % 9 END)) AS detection FROM answers
)
SELECT
    printf('camera-%02d', camera) AS stream,
    1_793_491_200_000 AS epoch,
    seq,
    printf('camera-%02d/1793491200000/%010d', camera, seq) AS frame_id,
    seq * 90_000 AS media_time,
    captured_at,
    'rtcp' AS clock,
    'yolo' AS model,
    'v1' AS model_version,
    CASE WHEN nothing THEN 'none' ELSE 'ok' END AS status,
    NULL AS reason,
    detection,
    CASE WHEN NOT nothing THEN kind END AS class_id,
    CASE WHEN NOT nothing THEN (['person', 'car', 'bicycle', 'dog', 'bus', 'truck', 'bottle'])[kind + 1] END AS label,
    CASE WHEN NOT nothing THEN 0.25 + dice % 7_500 / 1e4 END AS score,
    CASE WHEN NOT nothing THEN dice // 10 % 8_000 / 1e4 END AS x,
    CASE WHEN NOT nothing THEN dice // 100 % 8_000 / 1e4 END AS y,
    CASE WHEN NOT nothing THEN 0.01 + dice // 1_000 % 1_900 / 1e4 END AS w,
    CASE WHEN NOT nothing THEN 0.01 + dice // 10_000 % 1_900 / 1e4 END AS h,
    NULL AS track_id,
    NULL AS extra,
    printf('file:frames/camera-%02d/%07d.frames', camera, seq // 10) AS object_uri,
    seq % 10 * 61_000 AS object_offset,
    60_000 + chance % 1_000 AS object_len,
    inferred_at,
    latency_ms,
    worker
FROM (
    SELECT
        *,
        CAST(hash(number, detection) % 1_000_000_007 AS BIGINT) AS dice,
        CAST(hash(number, detection, 1) % 7 AS BIGINT) AS kind
    FROM found
) AS rows
ORDER BY inferred_at, number, detection
"""


def write(folder: Path, rows: int, *, repeated: bool) -> int:
    """Writes files of about so many rows into a folder in a Hive layout, and tells how many rows there are."""
    frames = int(rows / ROWS_PER_FRAME)
    database = duckdb.connect(":memory:")
    database.execute("SET enable_progress_bar = false")
    written = 0
    for hour, start in enumerate(range(0, frames, FRAMES_PER_HOUR)):
        late = 30 * STREAMS
        sql = HOUR.format(
            streams=STREAMS,
            first=max(start - late, 0),
            from_frame=start,
            last=min(start + FRAMES_PER_HOUR, frames),
            late=late,
            repeated="true" if repeated else "false",
            one_of=REPEATED,
        )
        table = database.execute(sql).to_arrow_table().cast(SCHEMA)
        place = folder / f"dt=2026-11-{1 + hour // 24:02}" / f"hour={hour % 24:02}"
        place.mkdir(parents=True)
        pq.write_table(table, place / f"part-{hour:04}.parquet", compression="zstd", compression_level=1)
        written += table.num_rows
    return written
