"""Walks dvc.yaml under Prefect. No stage is named here: dvc.yaml alone knows them."""
