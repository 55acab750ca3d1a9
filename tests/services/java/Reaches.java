class Reaches {
    public static void main(String[] given) throws Exception {
        java.util.TreeMap.class.getDeclaredField("comparator").setAccessible(true);
        java.awt.font.TextAttribute.class.getDeclaredField("instanceMap").setAccessible(true);
        Class.forName("com.sun.tools.javac.processing.JavacProcessingEnvironment").getDeclaredField("context").setAccessible(true);
    }
}
