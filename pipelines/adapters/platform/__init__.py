"""Platform: Airflow's and MLflow's processes, users, and what a person is told."""
