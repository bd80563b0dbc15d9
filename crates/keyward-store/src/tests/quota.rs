use super::*;
use keyward_model::limit::Period;

on_each_database! {
    many_counts_are_added_at_once_and_each_is_told_its_own,
    counts_of_two_processes_add_up_and_end_with_their_window,
}

fn count(digest: u128, requests: i64, now: Timestamp) -> QuotaCount {
    let window = Period::Month.window(now);
    QuotaCount {
        digest,
        period: Period::Month,
        window: window.number,
        ends: window.ends,
        requests,
    }
}

async fn many_counts_are_added_at_once_and_each_is_told_its_own(bench: Bench) {
    let store = bench.open().await;
    if store.database().postgres().is_some() {
        // Tells how many statements there were.
        execute(
            &store,
            "CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                UPDATE change_counters SET counter = counter + 1 WHERE subject = 'keys'; RETURN NULL; END $$;
            CREATE TRIGGER counted AFTER INSERT ON quota_counts
                FOR EACH STATEMENT EXECUTE FUNCTION counted()",
        )
        .await;
    }
    let mut counts: Vec<_> = (0..1_500).map(|one| count(one, 1, NOW)).collect();
    // The same one twice, and the order is not that of the rows.
    counts.push(count(7, 40, NOW));
    counts.reverse();
    counts.push(count(7, 2, NOW));
    let mut totals = Vec::new();
    store
        .add_quota_counts(&counts, &mut totals, NOW)
        .await
        .unwrap();
    assert_eq!(totals.len(), counts.len());
    for (count, total) in counts.iter().zip(&totals) {
        let least = if count.digest == 7 { 40 } else { 1 };
        assert!(*total >= least, "{count:?}: {total}");
    }
    let kept = store.quota_counts(NOW).await.unwrap();
    assert_eq!(kept.len(), 1_500);
    for one in kept {
        assert_eq!(one.requests, if one.digest == 7 { 43 } else { 1 });
    }
    if store.database().postgres().is_some() {
        assert_eq!(store.marks().await.unwrap().keys, 2);
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
