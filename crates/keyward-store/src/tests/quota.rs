use super::*;
use keyward_model::limit::Period;

on_each_database! {
    counts_of_two_processes_add_up_and_end_with_their_window,
}

fn count(digest: u128, requests: u32, now: Timestamp) -> QuotaCount {
    let window = Period::Month.window(now);
    QuotaCount {
        digest,
        period: Period::Month,
        window: window.number,
        ends: window.ends,
        requests,
    }
}

async fn counts_of_two_processes_add_up_and_end_with_their_window(bench: Bench) {
    let (one, other) = (bench.open().await, bench.open().await);
    assert_eq!(
        one.quota_secret().await.unwrap(),
        other.quota_secret().await.unwrap()
    );
    let mut totals = Vec::new();
    let counts = [count(1, 3, NOW), count(u128::MAX, 7, NOW)];
    one.add_quota_counts(&counts, &mut totals, NOW)
        .await
        .unwrap();
    other
        .add_quota_counts(&[count(1, 2, NOW)], &mut totals, NOW)
        .await
        .unwrap();
    assert_eq!(totals, [3, 7, 5]);
    let mut kept = one.quota_counts(NOW).await.unwrap();
    kept.sort_by_key(|count| count.digest);
    assert_eq!(kept, [count(1, 5, NOW), count(u128::MAX, 7, NOW)]);

    let next = count(1, 1, NOW).ends;
    assert!(one.quota_counts(next).await.unwrap().is_empty());
    one.add_quota_counts(&[count(1, 1, next)], &mut totals, next)
        .await
        .unwrap();
    assert_eq!(one.quota_counts(NOW).await.unwrap(), [count(1, 1, next)]);
}
