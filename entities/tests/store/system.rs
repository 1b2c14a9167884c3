//! What crosses tenants: claims, people, keys.

use super::bench::*;

#[tokio::test]
async fn claims_raise_the_token_and_respect_leases() {
    everywhere(|bench| async move {
        let (one, two) = two_tenants(&bench.store).await;
        bench.store.write(one, move |unit| async move { unit.insert(a_run(one, 61, 11, 12)).await }).await.unwrap();
        bench.store.write(two, move |unit| async move { unit.insert(a_run(two, 62, 21, 22)).await }).await.unwrap();
        let claim = |owner: &str, now: i64| {
            let claim = Claim { owner: owner.to_owned(), now: at(now), lease_until: at(now + 15), limit: 10 };
            let store = bench.store.clone();
            async move {
                let ready = store.system().await?.ready_tenants(claim.now).await?;
                let taken = store.write_system(|unit| async move {
                    let mut taken = Vec::new();
                    for tenant in &ready {
                        taken.extend(unit.claim_runs(&claim, tenant).await?);
                    }
                    Ok(taken)
                });
                taken.await
            }
        };
        let first: Result<Vec<run::Model>, E> = claim("a", 1).await;
        let mut first = first.unwrap();
        first.sort_by_key(|run| run.id);
        assert_eq!(
            first.iter().map(|run| (run.id, run.fencing_token, run.claims)).collect::<Vec<_>>(),
            [(id(61), 1, 1), (id(62), 1, 1)]
        );
        assert_eq!(first[0].status, "running");
        let none: Result<Vec<run::Model>, E> = claim("b", 10).await;
        assert!(none.unwrap().is_empty(), "the lease holds");
        let both = vec![RunId::from_uuid(id(61)), RunId::from_uuid(id(62))];
        let held: Result<u64, E> =
            bench.store.write_system(|unit| async move { unit.extend_leases("a", both, at(40)).await }).await;
        assert_eq!(held.unwrap(), 2);
        let none: Result<Vec<run::Model>, E> = claim("b", 30).await;
        assert!(none.unwrap().is_empty(), "the lease was kept");
        let second: Result<Vec<run::Model>, E> = claim("b", 41).await;
        assert!(second.unwrap().iter().all(|run| run.fencing_token == 2 && run.lease_owner.as_deref() == Some("b")));
    })
    .await;
}

#[tokio::test]
async fn people_and_keys_are_found_before_the_tenant_is_known() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        let person = user::Model {
            id: id(70),
            email: "ann@example.com".to_owned(),
            name: "Ann".to_owned(),
            password_hash: None,
            created_at: at(0),
            disabled_at: None,
            last_active_at: None,
        };
        let member = membership::Model {
            tenant_id: one.uuid(),
            id: id(71),
            user_id: id(70),
            role: "owner".to_owned(),
            created_at: at(0),
        };
        bench
            .store
            .write_system(|unit| async move {
                unit.insert(person).await?;
                unit.insert(member).await
            })
            .await
            .map_err(|error: E| error)
            .unwrap();
        let key = api_key::Model {
            tenant_id: one.uuid(),
            id: id(72),
            name: "ci".to_owned(),
            key_hash: vec![9; 32],
            prefix: "weir_live_ab".to_owned(),
            last_four: "wxyz".to_owned(),
            scopes: JsonText(json!(["runs:start"])),
            test: false,
            user_id: id(70),
            created_at: at(0),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        bench.store.write(one, |unit| async move { unit.insert(key).await }).await.map_err(|error: E| error).unwrap();
        let holder = bench.store.system().await.unwrap().find_key(&[9; 32]).await.unwrap().unwrap();
        assert_eq!((holder.tenant.id, holder.membership.unwrap().role.as_str()), (id(1), "owner"));
        assert_eq!(bench.store.system().await.unwrap().find_key(&[8; 32]).await.unwrap(), None);
        let people = bench.store.read(one).await.unwrap().find_users(vec![id(70)]).await.unwrap();
        assert_eq!(people.len(), 1);
        if bench.store.kind() == StoreKind::Postgres {
            let two = TenantId::from_uuid(id(2));
            let strangers = bench.store.read(two).await.unwrap().find_users(vec![id(70)]).await.unwrap();
            assert!(strangers.is_empty(), "a person is seen by the tenants they belong to");
        }
    })
    .await;
}
