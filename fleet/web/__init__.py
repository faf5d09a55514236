"""REST, rider pages and operator page. Renders and parses; decides nothing."""
