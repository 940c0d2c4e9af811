"""Sensors and jobs that keep the promise: watch consent, delete after a withdrawal, purge backups, tell of failures.

Their runs hold an epoch id and counts only. The state in the control ledger is the truth; Dagster is only one motor of
the deletion, and `erase run` another (reliability.md 3.3).
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from relationship_pipeline import operations
from relationship_pipeline.domain.erasure import Alert
from relationship_pipeline.orchestration.commands import end_abandoned_runs
from relationship_pipeline.orchestration.guard import guarded
from relationship_pipeline.orchestration.scrub import cancel_runs, scrub_history
from relationship_pipeline.settings import Settings

if TYPE_CHECKING:
    from relationship_pipeline.erasure.steps import Hooks

ON_TIME = "deletions_on_time"
URGENT = {"dagster/priority": "100"}
TICK_SECONDS = 30
WATCH_SECONDS = 900


class EpochConfig(dg.Config):
    """Run configuration holds an opaque id and nothing else."""

    epoch: str


class RequestConfig(dg.Config):
    """The number under which `erase person` recorded whom to erase. A number, so that an address typed in its place is
    refused before Dagster has stored it."""

    request: int


def dagster_hooks(settings: Settings, instance: dg.DagsterInstance, keep_run: str | None) -> "Hooks":
    """The deletion's two calls into Dagster, sparing the deletion's own run and what a later epoch did."""
    from relationship_pipeline.erasure.steps import Hooks

    def until(epoch: str) -> datetime | None:
        return operations.next_consent_after(settings, epoch)

    home = settings.layout.dagster_home
    return Hooks(
        cancel_runs=lambda epoch: cancel_runs(instance, until=until(epoch), keep_run=keep_run),
        scrub=lambda epoch: scrub_history(instance, home, until=until(epoch), keep_run=keep_run),
    )


def protect_jobs(settings: Settings) -> list[dg.JobDefinition]:
    """check_consent, erase_after_withdrawal, erase_person, purge_backups."""

    @dg.op
    def look_at_directory(context: dg.OpExecutionContext) -> None:
        state = guarded(settings, lambda: operations.check_consent(operations.Work(settings, context.log.info)))
        context.log.info(f"consent is {state}")

    @dg.op
    def erase_epoch(context: dg.OpExecutionContext, config: EpochConfig) -> None:
        hooks = dagster_hooks(settings, context.instance, context.run_id)
        erased = guarded(settings, lambda: operations.run_erasure(settings, hooks))
        for epoch, state in erased.items():
            context.log.info(f"epoch {epoch}: {state}")
        if not operations.is_erased_state(erased.get(config.epoch)):
            raise dg.Failure(f"epoch {config.epoch} stands at {erased.get(config.epoch)}; the sensor tries again")

    @dg.op
    def erase_recorded_person(context: dg.OpExecutionContext, config: RequestConfig) -> None:
        work = operations.Work(settings, context.log.info)
        status = guarded(settings, lambda: operations.erase_requested_person(work, str(config.request)))
        if status == "NO_REQUEST":
            raise dg.Failure(
                f"there is no request {config.request}: `erase person` says its number", allow_retries=False
            )
        context.log.info(f"request {config.request}: {status}")

    @dg.op
    def remove_old_backups(context: dg.OpExecutionContext) -> None:
        counts = guarded(settings, lambda: operations.purge_backups(settings))
        context.log.info(f"{counts['removed']} removed, {counts['kept']} kept")

    @dg.job(description="Ask the directory whether the consent's grants are still there (C6).")
    def check_consent() -> None:
        look_at_directory()

    @dg.job(tags=URGENT, description="Delete everything of an epoch whose consent was withdrawn, provably (W1-W4).")
    def erase_after_withdrawal() -> None:
        erase_epoch()

    @dg.job(tags=URGENT, description="Erase one person whose request was recorded by `erase person` (W5).")
    def erase_person() -> None:
        erase_recorded_person()

    @dg.job(description="Remove sealed backups older than 30 days, and those of ended consents (W2).")
    def purge_backups() -> None:
        remove_old_backups()

    return [check_consent, erase_after_withdrawal, erase_person, purge_backups]


def protect_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The check that a deletion at risk fails. It stands at the backups, which are what a deletion waits for longest;
    `deletion_deadline_sensor` fails it too, for after a withdrawal no asset is materialized."""

    @dg.asset_check(asset="backups", name=ON_TIME, description="W3: no deletion is overdue or at risk.")
    def deletions_on_time() -> dg.AssetCheckResult:
        alert = guarded(settings, lambda: operations.deletion_alert(settings))
        return dg.AssetCheckResult(passed=alert < Alert.WARNING, metadata={"alert": alert.name})

    return [deletions_on_time]


def protect_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The withdrawal sensor, the directory watch, the deadlines, the end of abandoned runs and the failure alert. All run
    from a fresh installation on: a stopped sensor would protect nobody."""

    @dg.sensor(
        job_name="erase_after_withdrawal",
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts the deletion of every withdrawn epoch that is not verified yet (W1), and goes on with one whose "
        "backups could not be reached once an hour (W2).",
    )
    def consent_withdrawal_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        due, attempt = operations.deletions_due(settings), int(context.cursor or 0) + 1
        waiting = operations.backups_due(settings)
        if not due and not waiting:
            return dg.SkipReason("nothing is withdrawn")
        active = context.instance.get_runs(
            filters=dg.RunsFilter(
                job_name="erase_after_withdrawal",
                statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
            )
        )
        if active:
            if active[0].status is dg.DagsterRunStatus.QUEUED:
                # Runs that hang, or whose machine went down, would keep it in the queue for as long as they count as started.
                until = operations.next_consent_after(settings, (due or waiting)[0])
                cancel_runs(context.instance, until=until, keep_run=active[0].run_id, patience=0)
            return dg.SkipReason("a deletion is running")
        # Dagster remembers run keys for ever, so a deletion that failed needs a new one.
        epoch = (due or waiting)[0]
        request = dg.RunRequest(
            run_key=f"{epoch}:{attempt}" if due else f"{epoch}:backups:{datetime.now(UTC):%Y-%m-%dT%H}",
            run_config={"ops": {"erase_epoch": {"config": {"epoch": epoch}}}},
            tags={**URGENT, "relationship/epoch": epoch},
        )
        return dg.SensorResult(run_requests=[request], cursor=str(attempt))

    @dg.sensor(
        job_name="check_consent",
        minimum_interval_seconds=WATCH_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a look at the directory while a consent is live (C6).",
    )
    def consent_watch_sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not operations.has_consent_to_watch(settings):
            return dg.SkipReason("no live consent to a source with a directory that can be asked")
        return dg.RunRequest()

    @dg.sensor(
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails the check `deletions_on_time` of `backups` while a deletion is overdue or at risk (W3).",
    )
    def deletion_deadline_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        alert = operations.deletion_alert(settings)
        if alert.name == (context.cursor or Alert.NONE.name):
            return dg.SkipReason("no deadline has come nearer")
        passed = alert < Alert.WARNING
        if not passed:
            context.log.critical(f"a deletion is {alert.name}; `relationship-pipeline erase status` says more")
        result = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("backups"), check_name=ON_TIME, passed=passed, metadata={"alert": alert.name}
        )
        return dg.SensorResult(asset_events=[result], cursor=alert.name)

    @dg.run_failure_sensor(
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Says in the daemon's log which run failed, and how late a deletion is (W3).",
    )
    def run_failure_alert(context: dg.RunFailureSensorContext) -> None:
        context.log.error(f"run {context.dagster_run.run_id} of {context.dagster_run.job_name} failed")
        alert = operations.deletion_alert(settings)
        if alert >= Alert.WARNING:
            context.log.critical(f"a deletion is {alert.name.lower()}; `relationship-pipeline erase status` says more")

    @dg.sensor(
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends runs whose command line was killed, so that they hold no place in the queue.",
    )
    def abandoned_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ended = end_abandoned_runs(context.instance, settings.layout)
        return dg.SkipReason(f"{ended} abandoned runs ended")

    return [
        consent_withdrawal_sensor,
        consent_watch_sensor,
        deletion_deadline_sensor,
        abandoned_runs_sensor,
        run_failure_alert,
    ]
