//! What goes on beside calls: names are resolved anew, targets are asked whether they are well.

use super::plan::UpstreamPlan;
use super::{addresses, health};
use keyward_model::Clock;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// The tasks of the upstreams that are served. They run on the control plane, and end with this.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    upstreams: Vec<(Arc<UpstreamPlan>, JoinSet<()>)>,
}

impl Watch {
    /// Watches these from now on: those that are the same are watched as before.
    pub(crate) fn follow(
        &mut self,
        plans: impl Iterator<Item = Arc<UpstreamPlan>>,
        runtime: &Handle,
        clock: &Arc<dyn Clock>,
    ) {
        let mut before = std::mem::take(&mut self.upstreams);
        for plan in plans {
            let same = before
                .iter()
                .position(|(known, _)| Arc::ptr_eq(known, &plan));
            self.upstreams.push(match same {
                Some(index) => before.swap_remove(index),
                None => {
                    let tasks = tasks(&plan, runtime, clock);
                    (plan, tasks)
                }
            });
        }
    }
}

fn tasks(plan: &Arc<UpstreamPlan>, runtime: &Handle, clock: &Arc<dyn Clock>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for target in &plan.targets {
        let host = &target.target.host;
        if host.parse::<IpAddr>().is_err() {
            let state = Arc::clone(&target.endpoint.state);
            let interval = plan.declared.resolve_interval;
            let clock = Arc::clone(clock);
            let resolving = addresses::keep_fresh(state, host.clone(), interval, clock);
            tasks.spawn_on(resolving, runtime);
        }
        if let Some(check) = &plan.declared.health_check {
            let (target, check) = (Arc::clone(target), check.clone());
            let name = plan.name.as_str().into();
            let asking = health::watch(name, target, check, Arc::clone(clock));
            tasks.spawn_on(asking, runtime);
        }
    }
    tasks
}
