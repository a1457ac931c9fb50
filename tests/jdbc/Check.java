// What a JDBC tool does with Shoal: metadata, a prepared statement, an update, an error.
// Prints one line per finding; test_jdbc.py knows what they must be.
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class Check {
    public static void main(String[] arguments) throws SQLException {
        String schema = arguments[1];
        try (Connection connection = DriverManager.getConnection(arguments[0]);
                Statement statement = connection.createStatement()) {
            DatabaseMetaData server = connection.getMetaData();
            System.out.println("product " + server.getDatabaseProductName());

            statement.execute("CREATE TABLE " + schema + ".jdbc (id BIGINT, name STRING, at TIMESTAMP)");
            System.out.println("updated " + statement.executeUpdate(
                "INSERT INTO " + schema + ".jdbc VALUES (1, 'a', TIMESTAMP '2024-02-29 12:00:00'), (2, NULL, NULL)"));

            try (ResultSet tables = server.getTables("lake", schema, "%", null)) {
                while (tables.next()) {
                    System.out.println("table " + tables.getString("TABLE_NAME"));
                }
            }
            try (ResultSet columns = server.getColumns("lake", schema, "jdbc", "%")) {
                while (columns.next()) {
                    System.out.println("column " + columns.getString("COLUMN_NAME"));
                }
            }
            try (ResultSet rows = statement.executeQuery("SELECT id, name, at FROM " + schema + ".jdbc ORDER BY id")) {
                while (rows.next()) {
                    System.out.println("row " + rows.getLong(1) + " " + rows.getString(2) + " " + (rows.getTimestamp(3) != null));
                }
            }
            try (PreparedStatement prepared = connection.prepareStatement(
                    "SELECT name FROM " + schema + ".jdbc WHERE id = ?")) {
                prepared.setLong(1, 1);
                try (ResultSet rows = prepared.executeQuery()) {
                    while (rows.next()) {
                        System.out.println("prepared " + rows.getString(1));
                    }
                }
            }
            try {
                statement.executeQuery("SELECT * FROM " + schema + ".nowhere");
            } catch (SQLException error) {
                System.out.println("error " + error.getMessage().contains("nowhere"));
            }
        }
    }
}
