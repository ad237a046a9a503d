"""Headframe: the library behind every use case; runs without Airflow."""
