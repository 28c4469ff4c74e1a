//! The time of day, for the status of pods, and the clock that deadlines are measured by.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, for deadlines.
#[expect(
    clippy::disallowed_methods,
    reason = "the supervisor is a program at the edge: it restarts what ends and reports when"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of day.
#[expect(
    clippy::disallowed_methods,
    reason = "the supervisor is a program at the edge: it restarts what ends and reports when"
)]
pub(crate) fn time_of_day() -> SystemTime {
    SystemTime::now()
}

/// The time of day as the API writes it, in seconds.
pub(crate) fn timestamp(time: SystemTime) -> String {
    // A clock before 1970 is not set; the epoch says so as well as any date.
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = elapsed.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970-01-01: years first, then months, as on a calendar.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
    };
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::timestamp;

    #[test]
    fn timestamps_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
