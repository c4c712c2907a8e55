//! Rows as Firehose takes them: lines of JSON, many to a record, and records to calls.
//!
//! A record is billed in steps of 5 kB, so a row of half a kilobyte in a record of its own costs ten times its size
//! (<https://aws.amazon.com/firehose/pricing/>).

use services::delivery::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_RECORD_BYTES, time_text};
use services::{DetectionRow, ErrorKind, PortError};

/// Rows on their way in one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Which rows, by their place in the batch.
    pub(super) rows: Vec<usize>,
    /// Their lines, one after the other.
    pub(super) text: String,
}

/// How much goes into a record and into a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    record_bytes: usize,
    call_bytes: usize,
    call_records: usize,
}

impl Limits {
    /// Firehose's.
    pub(super) const FIREHOSE: Self = Self {
        record_bytes: MAX_RECORD_BYTES,
        call_bytes: MAX_BATCH_BYTES,
        call_records: MAX_BATCH_RECORDS,
    };
}

/// A row as a line of JSON, its times as the text that Firehose reads into a `timestamp` of Glue.
///
/// # Errors
/// When the line is too long for a record, or a time has no such text.
pub(super) fn line(row: &DetectionRow, record: &str) -> Result<String, PortError> {
    let refuse = |cause| {
        let attempt = format!("deliver row {} of frame {}", row.detection, row.frame_id);
        Err(PortError::because(ErrorKind::Invalid, attempt, cause))
    };
    let mut line = record.to_owned();
    for (column, time) in [("captured_at", row.stamp.captured_at), ("inferred_at", row.inferred_at)]
    {
        let text = match time_text(column, time) {
            Ok(text) => text,
            Err(cause) => return refuse(cause),
        };
        // Inside a text every quote has a backslash before it: only a key can read so.
        let number = format!("\"{column}\":{}", time.0);
        line = line.replacen(&number, &format!("\"{column}\":\"{text}\""), 1);
    }
    line.push('\n');
    if line.len() > MAX_RECORD_BYTES {
        return refuse(format!("{} bytes, at most {MAX_RECORD_BYTES} are allowed", line.len()));
    }
    Ok(line)
}

/// Packs lines, each with its row's place, into as few records as hold them in their order, and those into calls.
///
/// No line may be longer than a record.
pub(super) fn pack(
    lines: impl IntoIterator<Item = (usize, String)>,
    limits: Limits,
) -> Vec<Vec<Record>> {
    let mut records: Vec<Record> = Vec::new();
    for (row, line) in lines {
        match records.last_mut() {
            Some(last) if last.text.len() + line.len() <= limits.record_bytes => {
                last.rows.push(row);
                last.text.push_str(&line);
            }
            _ => records.push(Record { rows: vec![row], text: line }),
        }
    }
    calls(records, limits)
}

fn calls(records: Vec<Record>, limits: Limits) -> Vec<Vec<Record>> {
    let mut calls: Vec<Vec<Record>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        bytes += record.text.len();
        match calls.last_mut() {
            Some(call) if call.len() < limits.call_records && bytes <= limits.call_bytes => {
                call.push(record);
            }
            _ => {
                bytes = record.text.len();
                calls.push(vec![record]);
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use services::CaptureTime;
    use services::delivery::check_batch;
    use services::delivery::contract::{captured_at, row};

    use super::*;

    fn line_of(row: &DetectionRow) -> Result<String, PortError> {
        let record = check_batch(std::slice::from_ref(row)).unwrap().remove(0)?;
        line(row, &record)
    }

    #[test]
    fn a_line_is_the_row_with_its_times_as_text() {
        let golden = include_str!("../../testdata/detection-row-firehose.v1.json");
        let row = include_str!("../../../services/testdata/detection-row.v1.json");
        let line = line_of(&serde_json::from_str(row).unwrap()).unwrap();
        let value = |text| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!((value(&line), line.len()), (value(golden), golden.len()));
    }

    #[test]
    fn a_row_whose_time_has_no_text_is_refused_by_name() {
        let row = captured_at(CaptureTime(i64::MIN), row("gate", 1, 2));
        let error = line_of(&row).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let told = error.to_string();
        assert!(
            told.starts_with("deliver row 2 of frame gate/0000000000007/0000000001: "),
            "{told}"
        );
        assert!(told.ends_with("expected a year of four digits"), "{told}");
    }

    #[test]
    fn a_line_that_its_times_make_too_long_is_refused() {
        let bare = serde_json::to_string(&row("gate", 0, 0)).unwrap().len();
        // "extra": null becomes "extra": "…".
        let extra = Some("x".repeat(MAX_RECORD_BYTES - bare + "null".len() - 2));
        let row = DetectionRow { extra, ..row("gate", 0, 0) };
        assert_eq!(serde_json::to_string(&row).unwrap().len(), MAX_RECORD_BYTES);
        assert_eq!(line_of(&row).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn five_hundred_rows_of_usual_size_are_one_record() {
        let rows: Vec<_> = (0..500).map(|seq| row("gate", seq, 0)).collect();
        let lines = rows.iter().map(|row| line_of(row).unwrap()).enumerate();
        let calls = pack(lines, Limits::FIREHOSE);
        assert_eq!((calls.len(), calls[0].len()), (1, 1));
        assert_eq!(calls[0][0].rows.len(), 500);
    }

    proptest! {
        #[test]
        fn a_line_differs_from_its_row_in_nothing_but_the_times(
            text in "(\"captured_at\":1|\"inferred_at\":|[a-z\"\\\\\n])*",
            captured in 0..4_000_000_000_000_000_i64,
        ) {
            let row = DetectionRow {
                frame_id: text.clone(),
                label: Some(text.clone()),
                extra: Some(text),
                ..captured_at(CaptureTime(captured), row("gate", 0, 0))
            };
            let line = line_of(&row).unwrap();
            prop_assert_eq!(line.matches('\n').count(), 1);
            let mut came: Value = serde_json::from_str(&line).unwrap();
            for (column, time) in
                [("captured_at", row.stamp.captured_at), ("inferred_at", row.inferred_at)]
            {
                prop_assert_eq!(&came[column], &Value::from(time_text(column, time).unwrap()));
                came[column] = Value::from(time.0);
            }
            prop_assert_eq!(came, serde_json::to_value(&row).unwrap());
        }

        #[test]
        fn every_line_is_in_one_record_and_no_two_neighbours_would_fit_one(
            lengths in prop::collection::vec(1_usize..=30, 0..120)
        ) {
            let limits = Limits { record_bytes: 30, call_bytes: 75, call_records: 4 };
            let lines: Vec<_> = lengths.iter().map(|len| "x".repeat(*len)).enumerate().collect();
            let calls = pack(lines.clone(), limits);
            for call in &calls {
                let bytes: usize = call.iter().map(|record| record.text.len()).sum();
                prop_assert!(call.len() <= 4 && bytes <= 75, "{call:?}");
            }
            let records = calls.concat();
            let rows: Vec<usize> = records.iter().flat_map(|record| record.rows.clone()).collect();
            prop_assert_eq!(rows, (0..lines.len()).collect::<Vec<_>>());
            for record in &records {
                let of_rows: String = record.rows.iter().map(|row| lines[*row].1.clone()).collect();
                prop_assert_eq!(&record.text, &of_rows);
                prop_assert!(record.text.len() <= 30);
            }
            for pair in records.windows(2) {
                let first = &lines[pair[1].rows[0]].1;
                prop_assert!(pair[0].text.len() + first.len() > 30, "{pair:?}");
            }
        }
    }
}
