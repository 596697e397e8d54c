"""Tables that the terminal and Prefect's artifacts share."""

from overlap.ensemble.registry import EnsembleRecord


def kl_table(record: EnsembleRecord) -> list[dict[str, str]]:
    """KL of each member, of the ensemble as it grows, and of the trivial prediction."""
    rows = [
        {"what": f"member {number}", "KL": "" if kl is None else f"{kl:.4f}"}
        for number, kl in enumerate(record.member_kl, 1)
    ]
    per_round = len(record.members) // max(1, len(record.curve))
    rows += [
        {"what": f"ensemble of {point.members * per_round}", "KL": f"{point.kl:.4f}"}
        for point in record.curve
    ]
    if record.trivial_kl is not None:
        rows.append({"what": "trivial (mean training label)", "KL": f"{record.trivial_kl:.4f}"})
    return rows
